"""The benchmark of ways of learning to learn: what each is worth for placement, beside what needs none of it."""
