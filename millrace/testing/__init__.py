"""What tests of Millrace, and of adapters to it, stand on: faults, conformance suites, a fake clock. It ships."""
