"""The main job on a year of real flights. It calls public operations only; no part of the product knows it."""
