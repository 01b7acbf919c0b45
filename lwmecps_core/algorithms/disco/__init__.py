"""Learning by a learnt update rule (DiscoRL: Oh et al. 2025, Nature, doi:10.1038/s41586-025-09761-x).

`value` is what returns and categorical values are, `rule` the meta-network that makes targets of trajectories,
`weights` its file, `heads` what an agent says, `loss` how far that is from its targets, `agent` the algorithm.
"""
