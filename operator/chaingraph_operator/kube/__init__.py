"""The controller runtime: watch, cache, work queue, controllers, status writer and Event recorder."""
