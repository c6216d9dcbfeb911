"""What Prometheus and Grafana are told of snexec's figures (README, "Metrics")."""

from __future__ import annotations

import json
from typing import NamedTuple

_GROUP = "snexec"


class Alert(NamedTuple):
    """One alert.

    Attributes:
        name: As Prometheus wants names: one word.
        says: What is wrong, for a person.
        rule: The expression that is true then.
        lasts: For how long it must be; empty is at once.
        critical: Whether somebody has to get up for it.
    """

    name: str
    says: str
    rule: str
    lasts: str = ""
    critical: bool = False


ALERTS = (
    Alert("Down", "the daemon is down", 'up{job="snexec"} == 0', "1m", True),
    Alert(
        "FillsNotConfirmed",
        "fills are not confirmed",
        'snexec_stream_state{state="authorized"} == 0',
        "1m",
    ),
    Alert(
        "RowsNotWritten",
        "rows cannot be written",
        "snexec_writer_healthy == 0",
        "30s",
        True,
    ),
    Alert(
        "NotTaking",
        "no signals are taken",
        'snexec_phase{phase="taking"} == 0 unless on (instance) snexec_lease == 0',
        "5m",
    ),
    Alert("NoHostActive", "no host is active", "max(snexec_lease) == 0", "30s", True),
    Alert("RedisAway", "Redis is away", "snexec_redis_connected == 0", "1m"),
    Alert(
        "EntriesWait", "entries wait to be read", "max(snexec_redis_lag) > 100", "1m"
    ),
    Alert(
        "EntryDead",
        "an entry was no signal",
        "increase(snexec_redis_dead_total[10m]) > 0",
    ),
    Alert("Unsettled", "orders stay unsettled", "snexec_orders_unsettled > 0", "15m"),
    Alert(
        "OrderRefused",
        "an order was refused",
        'increase(snexec_orders_total{outcome="refused"}[10m]) > 0',
    ),
    Alert(
        "RowsRefused",
        "another program's rule keeps rows from being opened",
        'increase(snexec_signals_skipped_total{reason="not_written"}[10m]) > 0',
    ),
    Alert("Halted", "the kill switch is on", "snexec_halted == 1"),
    Alert(
        "HaltedForAll",
        "exits are halted too",
        "snexec_halted_for_all == 1",
        critical=True,
    ),
    Alert(
        "PositionBlocked",
        "a position cannot be sold",
        'sum(snexec_positions{state="blocked"}) > 0',
        "5m",
        True,
    ),
    Alert("Blind", "no price counts", "snexec_exits_blind == 1", critical=True),
    Alert(
        "SellRefused",
        "a sell was refused",
        'increase(snexec_exits_total{outcome="refused"}[10m]) > 0',
    ),
    Alert(
        "BudgetShort",
        "the budget runs out",
        "snexec_rate_budget_left / snexec_rate_budget_limit < 0.1",
        "1m",
    ),
)
# Title, unit and expression.
GRAPHS = (
    (
        "Signal to wire, p99",
        "s",
        "histogram_quantile(0.99,"
        " sum by (le) (rate(snexec_order_wire_seconds_bucket[1h])))",
    ),
    ("Orders a day", "short", "sum by (outcome) (increase(snexec_orders_total[1d]))"),
    (
        "Skipped a day",
        "short",
        "sum by (reason) (increase(snexec_signals_skipped_total[1d]))",
    ),
    ("Dollars a day", "currencyUSD", "increase(snexec_orders_dollars_total[1d])"),
    ("Positions", "short", "sum by (mode, state) (snexec_positions)"),
    (
        "Closed a day",
        "short",
        'sum by (reason) (increase(snexec_exits_total{outcome="closed"}[1d]))',
    ),
    (
        "Price to sell, p99",
        "s",
        "histogram_quantile(0.99,"
        " sum by (le) (rate(snexec_exit_wire_seconds_bucket[1h])))",
    ),
    (
        "Slippage of sells, p90",
        "percentunit",
        "histogram_quantile(0.9,"
        " sum by (le) (rate(snexec_exit_slippage_ratio_bucket[1d])))",
    ),
    ("Profit and loss a day", "currencyUSD", "delta(snexec_pnl_dollars_total[1d])"),
)


def prometheus_rules() -> str:
    """Return a file of rules, in YAML; JSON's strings are YAML's too."""
    lines = ["groups:", f"  - name: {_GROUP}", "    rules:"]
    for alert in ALERTS:
        lines += [
            f"      - alert: Snexec{alert.name}",
            f"        expr: {json.dumps(alert.rule)}",
        ]
        if alert.lasts:
            lines.append(f"        for: {alert.lasts}")
        severity = "critical" if alert.critical else "warning"
        lines += [
            "        labels:",
            f"          severity: {severity}",
            "        annotations:",
            f"          summary: {json.dumps(f'snexec: {alert.says}')}",
        ]
    return "\n".join(lines) + "\n"


def grafana_dashboard() -> str:
    """Return a dashboard, to be imported; it asks for its Prometheus."""
    source = {"type": "prometheus", "uid": "${source}"}
    panels = [
        {
            "id": number + 1,
            "type": "timeseries",
            "title": title,
            "datasource": source,
            "fieldConfig": {"defaults": {"unit": unit}, "overrides": []},
            "gridPos": {"h": 8, "w": 8, "x": number % 3 * 8, "y": number // 3 * 8},
            "targets": [{"datasource": source, "expr": rule, "refId": "A"}],
        }
        for number, (title, unit, rule) in enumerate(GRAPHS)
    ]
    variable = {"name": "source", "type": "datasource", "query": "prometheus"}
    dashboard = {
        "title": "snexec",
        "uid": "snexec",
        "tags": ["snexec"],
        "schemaVersion": 39,
        "time": {"from": "now-7d", "to": "now"},
        "templating": {"list": [variable]},
        "panels": panels,
    }
    return json.dumps(dashboard, indent=2) + "\n"
