"""Where a release's weights come from: a PersistentVolumeClaim or an S3 bucket."""

from typing import Annotated

from pydantic import Field

from mlservice.api.fields import LeftOver, ObjectName, Unread, checked, in_words, rule
from mlservice.api.meta import Model

DEFAULT_MOUNT_PATH = "/var/lib/t9k/model"

MountPath = Annotated[
    str,
    Field(
        max_length=4096,
        json_schema_extra=checked(
            rule(
                "self == '' || self.startsWith('/') && self.matches('[^/]') && !self.contains(':') && "
                "!self.split('/').exists(p, p == '..')",
                f"mountPath is absolute and below the root, without '..' and ':', such as {DEFAULT_MOUNT_PATH}",
            )
        ),
    ),
]


class PVCStorage(Model):
    """Weights on a PersistentVolumeClaim."""

    name: ObjectName
    """Name of the PersistentVolumeClaim, in the namespace of the MLService."""

    sub_path: Annotated[
        str | None,
        Field(
            max_length=4096,
            json_schema_extra=checked(
                rule(
                    "!self.startsWith('/') && !self.split('/').exists(p, p == '..')",
                    "subPath is relative to the volume's root: remove the leading '/' and any '..'",
                )
            ),
        ),
    ] = None
    """Folder or file inside the volume, relative to its root, such as Llama-3-8B. Unset mounts the whole volume."""

    mount_path: MountPath | None = None
    """Absolute path at which user-container sees it. Unset means /var/lib/t9k/model."""

    read_only: bool | None = None
    """Whether it is mounted read-only. Unset means false, since some images write beside the model; true is safer, and
    enough for vLLM."""

    container_path: Annotated[Unread, LeftOver("set mountPath")] = None


class S3Secret(Model):
    """Reference to a Secret."""

    name: ObjectName
    """Name of the Secret, in the namespace of the MLService. Its key .s3cfg holds a configuration of s3cmd: host_base,
    host_bucket, access_key, secret_key and so on."""


class S3Storage(Model):
    """Weights in an S3 bucket; each pod downloads them before its server starts."""

    model_config = Model.model_config | {
        "json_schema_extra": checked(
            rule(
                "has(self.secretRef)",
                "secretRef.name is required: name a Secret whose key .s3cfg is an s3cmd configuration (secretName of "
                "older versions is secretRef.name now)",
                fieldPath=".secretRef",
                reason="FieldValueRequired",
            ),
            rule(
                "has(self.uri)",
                "uri is required: say where the model lies, such as s3://models/llama/",
                fieldPath=".uri",
                reason="FieldValueRequired",
            ),
            asked_for=["secretRef", "uri"],
        )
    }

    secret_ref: S3Secret
    """Required. Secret with the address of the S3 server and the credentials."""

    uri: Annotated[
        str,
        Field(
            pattern=r"^s3://[A-Za-z0-9][-_.A-Za-z0-9]*(/.*)?$",
            max_length=1024,
            json_schema_extra=in_words("uri is s3://BUCKET/FOLDER/, such as s3://models/llama/"),
        ),
    ]
    """Required. Bucket and folder of the model, such as s3://models/llama/."""

    mount_path: MountPath | None = None
    """Absolute path at which user-container sees the files. Unset means /var/lib/t9k/model."""

    secret_name: Annotated[Unread, LeftOver("set secretRef.name")] = None


class Storage(Model):
    """Where the weights come from: pvc or s3, not both."""

    model_config = Model.model_config | {
        "json_schema_extra": checked(
            rule(
                "!has(self.pvc) || !has(self.s3)",
                "storage is pvc or s3, not both: remove one; user-container sees one folder of weights",
            )
        )
    }

    pvc: PVCStorage | None = None
    """Weights on a PersistentVolumeClaim, mounted into user-container. Unset means none."""

    s3: S3Storage | None = None
    """Weights in an S3 bucket. Unset means none. Accepted, not served by this version: the release says so and does not
    start."""

    s3_storage: Annotated[Unread, LeftOver("set storage.s3 with secretRef.name and uri")] = None
