def get_user(data, user_id):
    return data["users"].get(user_id, "Error: user not found")
