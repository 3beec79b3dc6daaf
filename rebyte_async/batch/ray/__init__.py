"""Batches on a Ray cluster: a worker in each of several actors, and datasets of Ray in and out."""

from __future__ import annotations

from rebyte_async.batch.ray.batch import RayBatch
from rebyte_async.batch.ray.datasets import dataset_from_outcomes, items_from_dataset
from rebyte_async.batch.ray.settings import ClientSettings

__all__ = ["ClientSettings", "RayBatch", "dataset_from_outcomes", "items_from_dataset"]
