"""From files to `tf.data`: readers, phantom, structure maps, labels, splits, synthetic sets."""
