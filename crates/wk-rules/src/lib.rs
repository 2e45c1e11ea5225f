//! Rule files in Prometheus' format: loading, the states of alerts, the shipped catalogue, export.
