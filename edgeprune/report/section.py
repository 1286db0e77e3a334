"""What all sections of a stored report have in common."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

__all__ = ["Count", "Section"]

Count = Annotated[int, Field(ge=0, lt=1 << 63)]
"""Bytes, instructions, steps: what is counted."""


class Section(BaseModel):
    """Fields that the code does not know may be there; those it knows are of their own types."""

    model_config = ConfigDict(extra="allow", frozen=True, strict=True)
