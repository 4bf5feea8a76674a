"""The papers' tables: rows, metrics, claims, and how one row is measured."""
