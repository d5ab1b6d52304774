"""Keeping a platform in order: what nothing points at is collected, and everything that is stored is checked.

It stands to the right of all rooms, because it must know what each of them points at.
"""
