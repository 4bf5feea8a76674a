"""What the benchmark measures and how: stages on their data, convolutions, times."""
