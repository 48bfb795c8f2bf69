"""What runs inside a task: imported when it executes, never when a DAG file is read."""
