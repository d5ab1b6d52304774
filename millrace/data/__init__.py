"""Data: named tables whose versions never change, and rows that stream in between two versions."""
