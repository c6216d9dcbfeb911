const Alpaca = require("@alpacahq/alpaca-trade-api");
const baseUrl = process.argv[2];
const alpaca = new Alpaca({ keyId: "PK", secretKey: "secret", paper: true, baseUrl });
const heard = [];
const until = async (holds) => {
  while (!holds()) await new Promise((go) => setTimeout(go, 20));
};

(async () => {
  if ((await alpaca.getAccount()).status !== "ACTIVE") throw Error("account");
  if (!(await alpaca.getAssets({ status: "active" })).length) throw Error("assets");
  const stream = alpaca.trade_ws;
  stream.onConnect(() => stream.subscribe(["trade_updates"]));
  stream.onOrderUpdate((update) => heard.push(update.event + update.order.side));
  stream.connect();
  await new Promise((go) => process.stdin.once("data", go));
  await alpaca.createOrder({
    symbol: "KO", notional: 50, side: "buy", type: "market", time_in_force: "day",
  });
  await until(() => heard.includes("fillbuy"));
  await alpaca.closePosition("KO");
  await until(() => heard.includes("fillsell"));
  console.log("done");
  process.exit(0);
})();
