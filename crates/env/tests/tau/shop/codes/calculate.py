def calculate(data, expression):
    if not all(letter in "0123456789+-*/(). " for letter in expression):
        return "Error: invalid characters"
    return str(round(float(eval(expression, {"__builtins__": None}, {})), 2))
