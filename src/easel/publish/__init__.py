"""`script/push`: from a clean tree to a published version, in steps that can be resumed. See docs/push.md."""
