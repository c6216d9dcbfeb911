"""Orders in a row that the broker did not want (``halt_after_refusals``, SPEC 11)."""

from __future__ import annotations

from collections import OrderedDict

_REMEMBERED_ORDERS = 1024  # a rejection comes long after its order only in bad times


class Streak:
    """Which of the latest orders the broker did not want, in their sequence.

    An order that was taken ends the row that it stands in; one that is rejected after
    that never did.
    """

    def __init__(self) -> None:
        # None while that is not known: such an order neither counts nor ends a row.
        self._unwanted: OrderedDict[object, bool | None] = OrderedDict()
        self._forgotten = 0  # unwanted ones in a row, up to the oldest remembered

    def expected(self, order: str) -> None:
        """Keep an order's place until it is known whether the broker wanted it."""
        if order not in self._unwanted:
            self._note(order, unwanted=None)

    def taken(self, order: str | None) -> None:
        """Note that the broker took an order; what it said of it before holds."""
        if order is None or self._unwanted.get(order) is None:
            self._note(order, unwanted=False)

    def bought(self, order: str | None) -> None:
        """Note that an order has bought: whatever came before it, the row ends."""
        self._unwanted.pop(order, None)
        self._note(order, unwanted=False)

    def unwanted(self, order: str | None) -> int:
        """Note that the broker refused or rejected an order.

        Returns:
            How many orders in a row are unwanted, this one among them.
        """
        key = self._note(order, unwanted=True)
        row, holds_it = self._forgotten, False
        for each, unwanted in self._unwanted.items():
            if unwanted is None:
                continue
            if not unwanted and holds_it:
                break
            row = row + 1 if unwanted else 0
            holds_it = holds_it or each == key
        return row

    def end(self) -> None:
        """Begin anew."""
        self._unwanted.clear()
        self._forgotten = 0

    def _note(self, order: str | None, *, unwanted: bool | None) -> object:
        key = object() if order is None else order
        self._unwanted[key] = unwanted
        while len(self._unwanted) > _REMEMBERED_ORDERS:
            _order, unwanted = self._unwanted.popitem(last=False)
            if unwanted is not None:
                self._forgotten = self._forgotten + 1 if unwanted else 0
        return key
