"""What is between cosines and a loss: margins, rules, penalties, softmax."""
