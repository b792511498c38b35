//! Values of the chart: complete ones, and wrong ones.

/// Names of files with their values. Together they use each value of the chart.
pub(super) const ALL: [(&str, &str); 2] = [
    ("everything.yaml", EVERYTHING),
    (
        "without.yaml",
        "
fullnameOverride: hooks
persistence: { enabled: false, size: 1Gi }
serviceAccount: { create: false }
podDisruptionBudget: { enabled: false }
config: { restartOnChange: false }
accounts: { restartOnChange: false }
",
    ),
];

const EVERYTHING: &str = r#"
nameOverride: hooks
image:
  repository: registry.example.com/ringback
  tag: "1.2"
  digest: sha256:0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef
  pullPolicy: Always
  pullSecrets: [{ name: registry }]
replicas: 3
instanceIdPrefix: eu-
http: { address: "[::]", port: 8080, token: { secret: ringback, key: token } }
secretEnv: { KAFKA_PASSWORD: { secret: ringback-kafka, key: password } }
secretFiles: { kafka: { secret: ringback-kafka-ca } }
extraEnv: [{ name: TZ, value: UTC }]
extraVolumes: [{ name: tmp, emptyDir: {} }]
extraVolumeMounts: [{ name: tmp, mountPath: /tmp }]
logLevel: ringback=debug
persistence:
  storageClass: fast
  accessMode: ReadWriteOncePod
  size: 100Gi
  whenDeleted: Delete
  whenScaled: Delete
resources:
  requests: { cpu: 2, memory: 1Gi, ephemeral-storage: 1Gi }
  limits: { memory: 3Gi, cpu: "4" }
serviceAccount: { create: true, name: hooks, annotations: { example.com/a: b } }
podAnnotations: { example.com/a: b }
podLabels: { team: telephony }
nodeSelector: { disk: ssd }
tolerations: [{ key: dedicated, operator: Exists }]
affinity:
  nodeAffinity:
    requiredDuringSchedulingIgnoredDuringExecution:
      nodeSelectorTerms: [{ matchExpressions: [{ key: disk, operator: Exists }] }]
priorityClassName: high
topologySpreadConstraints:
  - { maxSkew: 1, topologyKey: topology.kubernetes.io/zone, whenUnsatisfiable: DoNotSchedule, labelSelector: { matchLabels: { a: b } } }
terminationGracePeriodSeconds: 60
startupSeconds: 31
podDisruptionBudget: { enabled: true, maxUnavailable: 25% }
networkPolicy:
  enabled: true
  from: [{ podSelector: { matchLabels: { app: prometheus } } }]
  kafka: { to: [{ ipBlock: { cidr: 10.0.0.0/24 } }], ports: [9092, 9093] }
  endpointPorts: [443]
  extraEgress: [{ to: [{ ipBlock: { cidr: 10.1.0.0/16 } }], ports: [{ port: 3306 }] }]
serviceMonitor: { enabled: true, interval: 1m, scrapeTimeout: 20s, labels: { release: prometheus } }
prometheusRule: { enabled: true, labels: { release: prometheus }, runbooks: "https://a.example.com/r", grafana: "https://g.example.com" }
"#;

/// Wrong values, each with a part of the message.
pub(super) const WRONG: [(&str, &str); 17] = [
    ("replicaCount: 3", "at '': additional properties 'replicaCount' not allowed"),
    ("replicas: many", "at '/replicas': got string, want null or integer"),
    ("replicas: -1", "at '/replicas': minimum: got -1, want 0"),
    ("http: { port: 0 }", "at '/http/port': minimum: got 0, want 1"),
    (
        "http: { token: { value: hush } }",
        "at '/http/token': additional properties 'value' not allowed",
    ),
    ("http: { address: example.com }", "at '/http/address': 'example.com' does not match"),
    ("persistence: { size: big }", "at '/persistence/size': 'big' does not match"),
    (
        "persistence: { accessMode: ReadWriteMany }",
        "at '/persistence/accessMode': value must be one of",
    ),
    ("accounts: { files: { a.yaml: x } }", "'a.yaml' does not match"),
    ("secretEnv: { A: hush }", "at '/secretEnv/A': got string, want object"),
    ("secretEnv: { A: { secret: a } }", "at '/secretEnv/A': missing property 'key'"),
    (
        "podDisruptionBudget: { maxUnavailable: 0 }",
        "at '/podDisruptionBudget/maxUnavailable': minimum: got 0, want 1",
    ),
    ("terminationGracePeriodSeconds: 4", "minimum: got 4, want 10"),
    ("serviceMonitor: { interval: 30 }", "at '/serviceMonitor/interval': got number, want string"),
    (
        "secretEnv: { RINGBACK__HTTP__LISTEN: { secret: a, key: b } }",
        "secretEnv: the chart itself sets RINGBACK__HTTP__LISTEN",
    ),
    (
        "accounts: { database: true, existingSecret: a }",
        "accounts: set only one of existingConfigMap, existingSecret and database, not a and database",
    ),
    (
        "accounts: { files: { accounts.toml: null } }",
        "accounts: set files, existingConfigMap, existingSecret or database",
    ),
];
