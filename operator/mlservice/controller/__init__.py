"""The glue, as thin as it can be: observe, apply, and the process around them."""
