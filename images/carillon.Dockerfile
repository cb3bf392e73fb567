# One static program, and the licences of what is in it; images/build stages it and fills in the arguments.
FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="carillon" \
      org.opencontainers.image.description="The Carillon command line: checks, operates and loads a deployment" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/carillon-io/carillon" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY carillon /carillon
COPY LICENSE NOTICES.txt /licenses/
USER 65532:65532
ENTRYPOINT ["/carillon"]
