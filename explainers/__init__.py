"""Why a model decided as it did: one class per method, one file per family."""
