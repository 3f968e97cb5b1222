"""Delivery: what the ledger wants REDCap to hold is planned against what REDCap has now, and written."""

from processors.delivery.deliver import Delivered, deliver, deliver_again

__all__ = ["Delivered", "deliver", "deliver_again"]
