"""How notices leave the broker: signed webhooks and mail. Implements `ports.notifying`."""

from broker.notices.opening import check_channel, open_channels

__all__ = ["check_channel", "open_channels"]
