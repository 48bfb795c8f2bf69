"""The version of airflow-provider-fc; importing the package imports nothing else."""

__version__ = "0.1.0"
