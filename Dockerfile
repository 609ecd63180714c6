# One image, both programs: the operator, and the gateway whose pods the operator runs.
#
# The programs are built outside and copied in, so that the image holds them and nothing else:
#
#   RUSTFLAGS="-C target-feature=+crt-static" cargo build --release --target x86_64-unknown-linux-gnu \
#     -p deepseek-operator -p deepseek-gateway
#   docker build -t registry.example.com/deepseek-gateway:0.1.0 .
#
# For arm64: target aarch64-unknown-linux-gnu, --build-arg BINARIES=target/aarch64-unknown-linux-gnu/release.
#
# Authorities for TLS towards backends are inside the programs (Mozilla's); the base adds /etc/passwd and the system's
# roots. BASE=scratch works as well: nothing in the programs needs a base.
ARG BASE=gcr.io/distroless/static-debian12:nonroot
FROM ${BASE}
ARG BINARIES=target/x86_64-unknown-linux-gnu/release
COPY ${BINARIES}/deepseek-operator ${BINARIES}/deepseek-gateway /usr/local/bin/
# By number: a kubelet cannot check runAsNonRoot against a name.
USER 65532:65532
ENTRYPOINT ["/usr/local/bin/deepseek-gateway"]
CMD ["--help"]
LABEL org.opencontainers.image.title="DeepSeek gateway for Kubernetes" \
      org.opencontainers.image.licenses="Apache-2.0"
