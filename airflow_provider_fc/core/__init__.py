"""The protocol of Function Compute as pure values and flows: no socket, clock, sleep or Airflow."""
