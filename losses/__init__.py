"""Pure loss functions: tensors in, scalar out; no weights, networks, state or logging."""
