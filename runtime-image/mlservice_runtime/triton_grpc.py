"""Triton's gRPC service (common/protobuf/grpc_service.proto), on the stubs that tritonclient ships."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import aclosing
from typing import Any

import grpc
from google.protobuf import json_format
from grpc_health.v1 import health_pb2, health_pb2_grpc
from tritonclient.grpc import service_pb2, service_pb2_grpc

from mlservice_runtime import completion, description, infer_grpc
from mlservice_runtime.access import OPEN_GRPC
from mlservice_runtime.activity import Activity
from mlservice_runtime.errors import Code, TritonError
from mlservice_runtime.generation import DECOUPLED_GRPC, Generation
from mlservice_runtime.health import Health
from mlservice_runtime.keys import Keys
from mlservice_runtime.log import logger
from mlservice_runtime.vllm_serving import Header


class TritonGrpc(service_pb2_grpc.GRPCInferenceServiceServicer):
    """The methods that have a meaning for one model in vLLM; the others answer UNIMPLEMENTED, as the base does."""

    def __init__(self, generation: Generation, health: Health, activity: Activity) -> None:
        self.generation = generation
        self.health = health
        self.activity = activity

    async def ServerLive(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerLiveResponse(live=await self.health.live())

    async def ServerReady(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerReadyResponse(ready=await self.health.ready())

    async def ServerMetadata(self, request: Any, context: Any) -> Any:
        return service_pb2.ServerMetadataResponse(**description.server())

    async def ModelReady(self, request: Any, context: Any) -> Any:
        served = request.name in self.generation.names and request.version in ("", "1")
        return service_pb2.ModelReadyResponse(ready=served and await self.health.ready())

    async def ModelMetadata(self, request: Any, context: Any) -> Any:
        await self.find(request.name, request.version, context)
        return json_format.ParseDict(description.metadata(request.name), service_pb2.ModelMetadataResponse())

    async def ModelConfig(self, request: Any, context: Any) -> Any:
        await self.find(request.name, request.version, context)
        return service_pb2.ModelConfigResponse(config=description.config(request.name))

    async def ModelStatistics(self, request: Any, context: Any) -> Any:
        try:
            documents = self.generation.counted(request.name, request.version)
        except TritonError as error:
            await context.abort(status(error), error.message)
        return json_format.ParseDict({"model_stats": documents}, service_pb2.ModelStatisticsResponse())

    async def RepositoryIndex(self, request: Any, context: Any) -> Any:
        models = description.index(self.generation.names)
        return json_format.ParseDict({"models": models}, service_pb2.RepositoryIndexResponse())

    async def RepositoryModelLoad(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAVAILABLE, description.fixed(request.model_name))

    async def RepositoryModelUnload(self, request: Any, context: Any) -> Any:
        await context.abort(grpc.StatusCode.UNAVAILABLE, description.fixed(request.model_name))

    async def find(self, model: str, version: str, context: Any) -> None:
        try:
            self.generation.find(model, version)
        except TritonError as error:
            await context.abort(status(error), error.message)

    async def ModelInfer(self, request: Any, context: Any) -> Any:
        """The single-response inference of the V2 protocol, which Triton itself refuses for its vLLM models."""
        with self.activity.request():
            try:
                self.generation.find(request.model_name, request.model_version)
                asked = infer_grpc.inference_of(request)
                if asked.stream:
                    raise TritonError(Code.UNSUPPORTED, DECOUPLED_GRPC)
                answer = await self.generation.one(asked, headers(context))
            except TritonError as error:
                await context.abort(status(error), error.message)
            return infer_grpc.response(asked, completion.outputs(asked, answer))

    async def ModelStreamInfer(self, requests: AsyncIterator[Any], context: Any) -> None:
        """Requests of one stream run beside each other; their responses come as they are made, in order for each."""
        given = headers(context)
        close_on_error = (b"triton_grpc_error", b"true") in given
        # gRPC takes one response at a time; who waits for it takes nothing from the engine.
        writing = asyncio.Lock()

        async def write(response: Any) -> None:
            async with writing:
                try:
                    await context.write(response)
                except grpc.aio.InternalError as error:  # the client is gone; gRPC is about to cancel us
                    raise asyncio.CancelledError from error

        try:
            async with asyncio.TaskGroup() as running:
                async for request in requests:
                    running.create_task(self.respond(request, write, given, close_on_error))
        except ExceptionGroup as errors:
            error = errors.exceptions[0]
            if not isinstance(error, TritonError):
                raise
            await context.abort(status(error), error.message)

    async def respond(
        self, request: Any, write: Callable[[Any], Awaitable[None]], given: list[Header], close_on_error: bool
    ) -> None:
        """Write all responses to one request. An error is one too, unless the client wants it to end the stream."""
        started = False
        with self.activity.request():
            try:
                self.generation.find(request.model_name, request.model_version)
                asked = infer_grpc.inference_of(request)
                started, final = True, False
                async with aclosing(self.generation.answers(asked, given)) as answers:
                    async for answer in answers:
                        final = answer.final
                        response = infer_grpc.response(asked, completion.outputs(asked, answer))
                        await write(streamed(response, final))
                if not final and infer_grpc.wants_empty_final(request):
                    await write(streamed(infer_grpc.response(asked, []), True))
            except Exception as error:
                if not isinstance(error, TritonError):
                    logger.exception("A request on a stream failed")
                    error = TritonError(Code.INTERNAL, "internal error, see the server's log")
                if close_on_error:
                    raise error from None
                await write(refused(request, error, started))


class HealthService(health_pb2_grpc.HealthServicer):
    """grpc.health.v1, for Kubernetes' grpc probes."""

    def __init__(self, health: Health) -> None:
        self.health = health

    async def Check(self, request: Any, context: Any) -> Any:
        serving = await self.health.ready()
        return health_pb2.HealthCheckResponse(status="SERVING" if serving else "NOT_SERVING")


class KeyInterceptor(grpc.aio.ServerInterceptor):
    """Asks for the key in the metadata `authorization`, as in HTTP's header of that name."""

    def __init__(self, keys: Keys) -> None:
        self.keys = keys

    async def intercept_service(
        self, continuation: Callable[[grpc.HandlerCallDetails], Awaitable[Any]], details: grpc.HandlerCallDetails
    ) -> Any:
        handler = await continuation(details)
        authorization = dict(details.invocation_metadata or ()).get("authorization")
        if handler is None or details.method in OPEN_GRPC or self.keys.accept(authorization):
            return handler
        streams = handler.response_streaming
        make = grpc.stream_stream_rpc_method_handler if streams else grpc.unary_unary_rpc_method_handler
        return make(unauthorized, handler.request_deserializer, handler.response_serializer)


async def unauthorized(request: Any, context: Any) -> None:
    await context.abort(grpc.StatusCode.UNAUTHENTICATED, "Unauthorized")


def streamed(response: Any, final: bool) -> Any:
    response.parameters["triton_final_response"].bool_param = final
    return service_pb2.ModelStreamInferResponse(infer_response=response)


def refused(request: Any, error: TritonError, started: bool) -> Any:
    """An error on a stream; one that a model made is also the last response of its request."""
    response = service_pb2.ModelInferResponse(id=request.id)
    if started:
        response.model_name, response.model_version = request.model_name, "1"
        response.parameters["triton_final_response"].bool_param = True
    return service_pb2.ModelStreamInferResponse(error_message=error.message, infer_response=response)


def headers(context: Any) -> list[Header]:
    """Metadata as HTTP headers."""
    return [
        (name.encode(), value if isinstance(value, bytes) else value.encode())
        for name, value in context.invocation_metadata() or ()
    ]


def status(error: TritonError) -> grpc.StatusCode:
    return grpc.StatusCode[error.code.grpc]


def server(service: TritonGrpc, keys: Keys, max_bytes: int) -> grpc.aio.Server:
    """A gRPC server with all services; it has no port yet."""
    made = grpc.aio.server(
        interceptors=[KeyInterceptor(keys)],
        options=[("grpc.max_receive_message_length", max_bytes), ("grpc.max_send_message_length", -1)],
    )
    service_pb2_grpc.add_GRPCInferenceServiceServicer_to_server(service, made)
    health_pb2_grpc.add_HealthServicer_to_server(HealthService(service.health), made)
    return made
