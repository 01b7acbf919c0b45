"""Placement problems as reinforcement-learning environments; importing this registers them with Gymnasium."""

from lwmecps_core.envs.registration import register

register()
