"""A local Function Compute: run it with ``python -m airflow_provider_fc.emulator`` or inside a test."""
