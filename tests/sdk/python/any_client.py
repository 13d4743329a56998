"""One conversation in the hands of any of the SDKs: the same questions, the same sort of replies.

Each class keeps its history in its SDK's own form and hands back what it got as it got it: what the gateway hides
in a reply for the provider (thinking, signatures) must survive that.
"""

import json
from dataclasses import dataclass, field

import anthropic
import openai

from conftest import TOKEN, URL

# One red pixel.
PIXEL = "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR42mP4z8AAAAMBAQD3A0FDAAAAAElFTkSuQmCC"
PARAMETERS = {
    "type": "object",
    "properties": {"query": {"type": "string"}, "limit": {"type": "integer"}},
    "required": ["query"],
}


@dataclass
class Reply:
    text: str
    calls: list = field(default_factory=list)  # (id, name, arguments)
    stop: str = ""  # end, tools, length
    input: int = 0  # the whole prompt
    cached: int = 0
    output: int = 0
    headers: dict = field(default_factory=dict)


class Client:
    """What the three have in common."""

    def __init__(self, model, system="", tools=(), headers=None, key=TOKEN, **more):
        self.model, self.system, self.tools, self.more = model, system, list(tools), more
        self.history, self.seen = [], []
        self.settings = {
            "api_key": key, "max_retries": 0, "timeout": 60.0, "default_headers": headers or {}
        }
        self.hooks = {"response": [lambda answer: self.seen.append(dict(answer.headers))]}

    def ask(self, text=None, stream=False, image=False):
        """A question, or what the results that were given before lead to."""
        if text is not None:
            self.user(text, image)
        reply = self.send(stream)
        reply.headers = self.seen[-1]
        return reply


class Messages(Client):
    dialect = "messages"
    refused = anthropic.BadRequestError
    failed = anthropic.APIError

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        http = anthropic.DefaultHttpxClient(event_hooks=self.hooks)
        self.sdk = anthropic.Anthropic(base_url=URL, http_client=http, **self.settings)

    def user(self, text, image=False):
        content = [{"type": "text", "text": text}]
        if image:
            source = {"type": "base64", "media_type": "image/png", "data": PIXEL}
            content.insert(0, {"type": "image", "source": source})
        self.history.append({"role": "user", "content": content})

    def results(self, results):
        blocks = [{"type": "tool_result", "tool_use_id": id, "content": text} for id, text in results]
        self.history.append({"role": "user", "content": blocks})

    def body(self):
        body = {"model": self.model, "max_tokens": 4000, "messages": self.history, **self.more}
        if self.system:
            # What Claude Code does: the system prompt and the end of the conversation are marked.
            mark = {"type": "ephemeral"}
            body |= {"system": [{"type": "text", "text": self.system, "cache_control": mark}], "cache_control": mark}
        if self.tools:
            body["tools"] = [
                {"name": name, "description": "Looks a word up.", "input_schema": PARAMETERS} for name in self.tools
            ]
        return body

    def send(self, stream):
        if stream:
            with self.sdk.messages.stream(**self.body()) as events:
                message = events.get_final_message()
        else:
            message = self.sdk.messages.create(**self.body())
        self.history.append({"role": "assistant", "content": message.content})
        usage = message.usage
        cached = usage.cache_read_input_tokens or 0
        return Reply(
            text="".join(block.text for block in message.content if block.type == "text"),
            calls=[(block.id, block.name, block.input) for block in message.content if block.type == "tool_use"],
            stop={"end_turn": "end", "tool_use": "tools", "max_tokens": "length"}.get(message.stop_reason),
            input=usage.input_tokens + cached + (usage.cache_creation_input_tokens or 0),
            cached=cached,
            output=usage.output_tokens,
        )

    def parse(self, text, form):
        self.user(text)
        return self.sdk.messages.parse(**self.body(), output_format=form).parsed_output

    think = {"thinking": {"type": "enabled", "budget_tokens": 1024}}


class Chat(Client):
    dialect = "chat"
    refused = openai.BadRequestError
    failed = openai.APIError

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        http = openai.DefaultHttpxClient(event_hooks=self.hooks)
        self.sdk = openai.OpenAI(base_url=f"{URL}/v1", http_client=http, **self.settings)
        if self.system:
            self.history.append({"role": "system", "content": self.system})

    def user(self, text, image=False):
        content = [{"type": "text", "text": text}]
        if image:
            content.insert(0, {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{PIXEL}"}})
        self.history.append({"role": "user", "content": content if image else text})

    def results(self, results):
        self.history += [{"role": "tool", "tool_call_id": id, "content": text} for id, text in results]

    def body(self):
        body = {"model": self.model, "messages": self.history, **self.more}
        if self.tools:
            body["tools"] = [
                {
                    "type": "function",
                    "function": {"name": name, "description": "Looks a word up.", "parameters": PARAMETERS},
                }
                for name in self.tools
            ]
        return body

    def send(self, stream):
        if stream:
            options = {"stream_options": {"include_usage": True}}
            with self.sdk.chat.completions.stream(**self.body(), **options) as events:
                completion = events.get_final_completion()
        else:
            completion = self.sdk.chat.completions.create(**self.body())
        choice, usage = completion.choices[0], completion.usage
        calls = choice.message.tool_calls or []
        # What clients of this dialect keep of a turn: the text and the calls, nothing more.
        kept = {"role": "assistant", "content": choice.message.content}
        if calls:
            kept["tool_calls"] = [
                {
                    "id": call.id, "type": "function",
                    "function": {"name": call.function.name, "arguments": call.function.arguments},
                }
                for call in calls
            ]
        self.history.append(kept)
        details = usage.prompt_tokens_details
        return Reply(
            text=choice.message.content or "",
            calls=[(call.id, call.function.name, json.loads(call.function.arguments)) for call in calls],
            stop={"stop": "end", "tool_calls": "tools", "length": "length"}.get(choice.finish_reason),
            input=usage.prompt_tokens,
            cached=(details.cached_tokens or 0) if details else 0,
            output=usage.completion_tokens,
        )

    def parse(self, text, form):
        self.user(text)
        return self.sdk.chat.completions.parse(**self.body(), response_format=form).choices[0].message.parsed

    think = {"reasoning_effort": "low"}


class Responses(Client):
    dialect = "responses"
    refused = openai.BadRequestError
    failed = openai.APIError

    def __init__(self, *given, **more):
        super().__init__(*given, **more)
        http = openai.DefaultHttpxClient(event_hooks=self.hooks)
        self.sdk = openai.OpenAI(base_url=f"{URL}/v1", http_client=http, **self.settings)

    def user(self, text, image=False):
        content = [{"type": "input_text", "text": text}]
        if image:
            picture = {"type": "input_image", "detail": "auto", "image_url": f"data:image/png;base64,{PIXEL}"}
            content.insert(0, picture)
        self.history.append({"role": "user", "content": content})

    def results(self, results):
        self.history += [{"type": "function_call_output", "call_id": id, "output": text} for id, text in results]

    def body(self):
        # As Codex asks: nothing is stored, thinking comes along sealed.
        body = {"model": self.model, "input": self.history, "store": False, **self.more}
        body["include"] = ["reasoning.encrypted_content"]
        if self.system:
            body["instructions"] = self.system
        if self.tools:
            body["tools"] = [
                {
                    "type": "function", "name": name, "description": "Looks a word up.", "parameters": PARAMETERS,
                    "strict": False,
                }
                for name in self.tools
            ]
        return body

    def send(self, stream):
        if stream:
            with self.sdk.responses.stream(**self.body()) as events:
                for event in events:
                    # The helper hands these on as it does any other, and leaves the rest to its user.
                    if event.type in ("error", "response.failed"):
                        request = events._response.request
                        raise openai.APIError("it broke off", request=request, body=event.to_dict())
                response = events.get_final_response()
        else:
            response = self.sdk.responses.create(**self.body())
        self.history += [item.model_dump(exclude_none=True) for item in response.output]
        calls = [item for item in response.output if item.type == "function_call"]
        usage = response.usage
        stop = "length" if response.status == "incomplete" else "tools" if calls else "end"
        return Reply(
            text=response.output_text,
            calls=[(call.call_id, call.name, json.loads(call.arguments)) for call in calls],
            stop=stop,
            input=usage.input_tokens,
            cached=usage.input_tokens_details.cached_tokens,
            output=usage.output_tokens,
        )

    def parse(self, text, form):
        self.user(text)
        return self.sdk.responses.parse(**self.body(), text_format=form).output_parsed

    think = {"reasoning": {"effort": "low", "summary": "auto"}}


CLIENTS = (Messages, Chat, Responses)
