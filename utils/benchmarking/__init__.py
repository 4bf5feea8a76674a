"""Times, convolutions and operations of compiled steps."""
