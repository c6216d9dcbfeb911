"""Where the database keeps the rules applied last, and high prices (SPEC 12.3)."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from snexec.ledger import HighPrice, Store, Writer


class LedgerShelf:
    """Keeps them by the ledger's one writer.

    Args:
        writer: It.
    """

    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    async def note_rules(self, rules: str) -> None:
        """Keep the rules that are applied from now on."""

        def note(store: Store) -> None:
            store.held.note_rules(rules)

        await self._writer.write(note)

    async def raise_highs(self, highs: Sequence[HighPrice]) -> None:
        """Keep how high prices have been; what is higher already stays."""

        def note(store: Store) -> None:
            store.held.raise_highs(highs)

        await self._writer.write(note)

    async def set_highs(self, highs: Sequence[HighPrice]) -> None:
        """Keep the same where a print was taken back: lower, too."""

        def note(store: Store) -> None:
            store.held.set_highs(highs)

        await self._writer.write(note)
