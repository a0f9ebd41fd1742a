// The import table of the house: a room may import itself, what its row lists, Node's own modules and packages.
const rooms = {
  'core/base': [],
  'core/schema': [],
  'core/sdk': ['core/base'],
  native: ['core/base'],
  'core/kernel': ['core/sdk', 'core/base'],
  'core/platform': ['core/base', 'core/sdk', 'native'],
  'core/engine': ['core/sdk', 'core/base', 'core/schema'],
  'core/api': ['core/engine', 'core/sdk', 'core/base', 'core/schema'],
  'core/cli': ['core/base', 'core/schema'],
  'core/tools': ['core/sdk', 'core/kernel', 'core/platform', 'core/base', 'native'],
  'core/daemon': ['core'],
}

// A unit test stands beside the code and belongs to `test`, which may import everything.
const test = '\\.test\\.ts$'
const ours = '^(core|native|drivers|plugins|test)/'
const at = (room) => `^${room}/`

module.exports = {
  forbidden: [
    ...Object.entries(rooms).map(([room, allowed]) => ({
      name: `${room.replace('/', '-')}-imports`,
      comment: `${room} may import ${allowed.join(', ') || 'nothing'}`,
      severity: 'error',
      from: { path: at(room), pathNot: test },
      to: { path: ours, pathNot: [room, ...allowed].map(at) },
    })),
    {
      name: 'base-has-no-dependencies',
      severity: 'error',
      from: { path: '^core/base/', pathNot: test },
      to: { dependencyTypes: ['npm', 'npm-dev', 'npm-optional', 'npm-peer'] },
    },
    {
      name: 'driver-imports',
      comment: 'a driver imports its own folder, the SDK and native; never another driver, the engine or the kernel',
      severity: 'error',
      from: { path: '^(drivers/[^/]+/[^/]+|plugins/[^/]+)/', pathNot: test },
      to: { path: ours, pathNot: ['^$1/', '^core/sdk/', '^core/base/', '^native/'] },
    },
    {
      name: 'nobody-imports-drivers',
      comment: 'the kernel loads drivers and plugins from where it found them',
      severity: 'error',
      from: { path: '^(core|native)/', pathNot: test },
      to: { path: '^(drivers|plugins)/' },
    },
    { name: 'nobody-imports-test', severity: 'error', from: { pathNot: [test, '^test/'] }, to: { path: ['^test/', test] } },
    {
      name: 'nouns-by-index',
      comment: 'one noun of the engine reaches another only through its index.ts',
      severity: 'error',
      from: { path: '^core/engine/([^/]+)/', pathNot: test },
      to: { path: '^core/engine/[^/]+/', pathNot: ['^core/engine/$1/', '^core/engine/[^/]+/index\\.ts$'] },
    },
    {
      name: 'engine-by-index',
      severity: 'error',
      from: { path: '^core/(api|daemon)/', pathNot: test },
      to: { path: '^core/engine/[^/]+/', pathNot: '^core/engine/[^/]+/index\\.ts$' },
    },
    { name: 'no-cycles', severity: 'error', from: {}, to: { circular: true } },
    { name: 'resolvable', severity: 'error', from: {}, to: { couldNotResolve: true } },
    {
      name: 'no-undeclared-packages',
      severity: 'error',
      from: { pathNot: [test, '^test/', '^core/sdk/testing/'] },
      to: { dependencyTypes: ['npm-no-pkg', 'npm-unknown', 'npm-dev'], dependencyTypesNot: ['type-only'] },
    },
  ],
  options: {
    doNotFollow: { path: 'node_modules' },
    exclude: { path: '^(dist|build|coverage)/' },
    tsPreCompilationDeps: true,
    combinedDependencies: true,
    tsConfig: { fileName: 'tsconfig.json' },
    enhancedResolveOptions: { exportsFields: ['exports'], conditionNames: ['import', 'require', 'node', 'default', 'types'] },
  },
}
