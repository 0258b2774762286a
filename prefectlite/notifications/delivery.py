"""How delivering a message fails: what is said in the record of deliveries."""

from __future__ import annotations

from prefectlite.errors import PrefectliteError


class DeliveryError(PrefectliteError):
    """A message could not be delivered; it may be another time."""


class DeliveryRefused(DeliveryError):
    """A message is not delivered, however often it is tried: its target is not allowed, or cannot be used."""
