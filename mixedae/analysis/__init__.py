"""The paper's figures as measurements: attention, recognition, reconstructions, information, cost. No torch here."""
