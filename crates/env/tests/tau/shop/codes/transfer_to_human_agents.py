def transfer_to_human_agents(data, summary):
    return "Transfer successful"
