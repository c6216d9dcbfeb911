const { Alpaca } = require("@alpacahq/alpaca-trade-api");
const base = process.argv[2];
const alpaca = new Alpaca({
  keyId: "PK", secret: "secret", paper: true,
  fetchApi: (url, options) =>
    fetch(String(url).replace("https://paper-api.alpaca.markets", base), options),
});
const heard = [];
const until = async (holds) => {
  while (!holds()) await new Promise((go) => setTimeout(go, 20));
};

(async () => {
  if ((await alpaca.trading.account.getAccount()).status !== "ACTIVE") throw Error();
  const stream = alpaca.trading.stream({ url: base.replace("http", "ws") + "/stream" });
  stream.onTradeUpdate((update) => heard.push(update.event + update.order.side));
  stream.onConnect(() => stream.subscribeTradeUpdates());
  stream.connect();
  await new Promise((go) => process.stdin.once("data", go));
  await alpaca.trading.orders.market({ symbol: "KO", notional: 50, side: "buy" });
  await until(() => heard.includes("fillbuy"));
  await alpaca.trading.positions.deleteOpenPosition({ symbolOrAssetId: "KO" });
  await until(() => heard.includes("fillsell"));
  console.log("done");
  process.exit(0);
})();
