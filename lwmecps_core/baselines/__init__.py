"""Controls that learnt policies are held against."""
