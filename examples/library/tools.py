"""The desk of a small library: tools of your own as a Python file.

Every public function is a tool: its type hints say what it takes, its docstring what it does.
Two names are none. `reset(task)` begins an episode; `task` is the task's line of tasks.jsonl.
`reward(task, episode)` says what it was worth; `episode` has the `calls` (each with `name`,
`arguments`, `text` and `failed`), the last `answer`, and why the episode ended, its `stop`.

What lies in globals is one episode's alone: each has a process of its own.
"""

from typing import List, Literal, Optional

books = {}
loans = {}


def reset(task):
    books.update(task["books"])
    loans.update(task.get("loans", {}))


def find_books(word: str, shelf: Optional[Literal["fiction", "science"]] = None) -> List[dict]:
    """Finds books by a word of their title or author.

    Args:
        word: The word; upper and lower case are the same.
        shelf: Only books of this shelf.
    """
    return [
        {"id": id, **book}
        for id, book in books.items()
        if word.lower() in f"{book['title']} {book['author']}".lower() and shelf in (None, book["shelf"])
    ]


def lend(book: str, reader: str) -> str:
    """Lends a book to a reader.

    Args:
        book: The book's id.
        reader: The reader's name.
    """
    if book not in books:
        raise ValueError(f"there is no book {book}")
    if book in loans:
        raise ValueError(f"{loans[book]} has it")
    loans[book] = reader
    return f"{reader} has {books[book]['title']}"


def give_back(book: str) -> str:
    """Takes a book back from whoever has it.

    Args:
        book: The book's id.
    """
    return f"{loans.pop(book)} has given it back"


def loans_of(reader: str) -> List[str]:
    """Lists the ids of the books that a reader has."""
    return [book for book, has in loans.items() if has == reader]


def reward(task, episode):
    goal = {**task.get("loans", {}), **task.get("goal", {})}
    wanted = {book: reader for book, reader in goal.items() if reader is not None}
    is_met = loans == wanted
    answer = (episode["answer"] or "").lower()
    is_said = all(word.lower() in answer for word in task.get("say", []))
    return {"reward": is_met and is_said, "metrics": {"met": is_met, "said": is_said}}
