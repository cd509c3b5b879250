"""HTTP: one blueprint a noun. Never proposes, trains or loads a model."""
