# One static program, and the licences of what is in it; images/build stages it and fills in the arguments.
FROM scratch
ARG VERSION
ARG REVISION
LABEL org.opencontainers.image.title="carillon-dispatcher" \
      org.opencontainers.image.description="The Carillon dispatcher: takes notifications over REST" \
      org.opencontainers.image.licenses="Apache-2.0" \
      org.opencontainers.image.source="https://github.com/carillon-io/carillon" \
      org.opencontainers.image.version="${VERSION}" \
      org.opencontainers.image.revision="${REVISION}"
COPY carillon-dispatcher /carillon-dispatcher
COPY LICENSE NOTICES.txt /licenses/
USER 65532:65532
EXPOSE 8081 9090
ENTRYPOINT ["/carillon-dispatcher"]
