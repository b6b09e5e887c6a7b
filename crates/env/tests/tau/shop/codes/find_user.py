from typing import Any, Dict


def find_user(data: Dict[str, Any], email: str) -> str:
    for user_id, user in data["users"].items():
        if user["email"].lower() == email.lower():
            return user_id
    return "Error: user not found"
