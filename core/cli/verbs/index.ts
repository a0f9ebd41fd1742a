// Names and one line each, so that `--help` and dispatch load no verb.
import type { Verb } from '../verb.js'

export interface VerbEntry {
  summary: string
  load: () => Promise<Verb>
}

const entry = (summary: string, load: () => Promise<{ verb: Verb }>): VerbEntry => ({ summary, load: async () => (await load()).verb })
const part = <M>(summary: string, load: () => Promise<M>, pick: (module: M) => Verb): VerbEntry => ({
  summary,
  load: async () => pick(await load()),
})

const lifecycle = () => import('./lifecycle.js')
const images = () => import('./images.js')
const volumes = () => import('./volumes.js')
const networks = () => import('./networks.js')
const drivers = () => import('./drivers.js')
const system = () => import('./system.js')
const registry = () => import('./registry.js')

const changes = () => import('./changes.js')
const imageContent = () => import('./image-content.js')
const prune = () => import('./prune.js')

const ps = entry('List containers', () => import('./ps.js'))
const imageList = part('List images', images, (m) => m.list)
const volumeList = part('List volumes', volumes, (m) => m.list)
const networkList = part('List networks', networks, (m) => m.list)
const driverList = part('List drivers', drivers, (m) => m.list)
const containerRemove = part('Remove one or more containers', lifecycle, (m) => m.rm)
const imageRemove = part('Remove one or more images', images, (m) => m.remove)

/** Commands by their full name. */
export const verbs: Readonly<Record<string, VerbEntry>> = {
  run: entry('Create and run a new container from an image', () => import('./run.js')),
  exec: entry('Execute a command in a running container', () => import('./exec.js')),
  ps,
  images: imageList,
  version: part('Show the tsd version information', system, (m) => m.version),
  info: part('Display system-wide information', system, (m) => m.info),
  daemon: entry('Run the engine, or stop or check it', () => import('./daemon.js')),
  doctor: entry('Check what this machine can do', () => import('./doctor.js')),
  attach: entry('Attach local standard input, output, and error streams to a running container', () => import('./attach.js')),
  build: entry('Build an image from a Dockerfile', () => import('./build.js')),
  'builder prune': entry('Remove build cache', () => import('./builder-prune.js')),
  commit: part("Create a new image from a container's changes", changes, (m) => m.commit),
  cp: entry('Copy files/folders between a container and the local filesystem', () => import('./cp.js')),
  create: entry('Create a new container', () => import('./create.js')),
  diff: part("Inspect changes to files or directories on a container's filesystem", changes, (m) => m.diff),
  events: part(
    'Get real time events from the server',
    () => import('./events.js'),
    (m) => m.verb,
  ),
  export: part("Export a container's filesystem as a tar archive", changes, (m) => m.exportTar),
  history: part('Show the history of an image', imageContent, (m) => m.history),
  import: part('Import the contents from a tarball to create a filesystem image', images, (m) => m.importTar),
  inspect: entry('Return low-level information on objects', () => import('./inspect.js')),
  kill: part('Kill one or more running containers', lifecycle, (m) => m.kill),
  load: part('Load an image from a tar archive or STDIN', images, (m) => m.load),
  login: part('Authenticate to a registry', registry, (m) => m.login),
  logout: part('Log out from a registry', registry, (m) => m.logout),
  logs: entry('Fetch the logs of a container', () => import('./logs.js')),
  pause: part('Pause all processes within one or more containers', lifecycle, (m) => m.pause),
  port: part('List port mappings or a specific mapping for the container', lifecycle, (m) => m.port),
  pull: part('Download an image from a registry', registry, (m) => m.pull),
  push: part('Upload an image to a registry', registry, (m) => m.push),
  rename: part('Rename a container', lifecycle, (m) => m.rename),
  restart: part('Restart one or more containers', lifecycle, (m) => m.restart),
  rm: containerRemove,
  rmi: imageRemove,
  save: part('Save one or more images to a tar archive (streamed to STDOUT by default)', imageContent, (m) => m.save),
  start: entry('Start one or more stopped containers', () => import('./start.js')),
  stats: entry('Display a live stream of container(s) resource usage statistics', () => import('./stats.js')),
  stop: part('Stop one or more running containers', lifecycle, (m) => m.stop),
  tag: part('Create a tag TARGET_IMAGE that refers to SOURCE_IMAGE', images, (m) => m.tag),
  top: part('Display the running processes of a container', lifecycle, (m) => m.top),
  unpause: part('Unpause all processes within one or more containers', lifecycle, (m) => m.unpause),
  update: entry('Update configuration of one or more containers', () => import('./update.js')),
  wait: part('Block until one or more containers stop, then print their exit codes', lifecycle, (m) => m.wait),
  'container prune': part('Remove all stopped containers', prune, (m) => m.containerPrune),
  'image prune': part('Remove unused images', prune, (m) => m.imagePrune),
  'system df': part(
    'Show disk usage of the engine',
    () => import('./disk-usage.js'),
    (m) => m.diskUsage,
  ),
  'system prune': part('Remove unused data', prune, (m) => m.systemPrune),
  'volume create': part('Create a volume', volumes, (m) => m.create),
  'volume inspect': part('Display detailed information on one or more volumes', volumes, (m) => m.inspect),
  'volume ls': volumeList,
  'volume prune': part('Remove unused local volumes', volumes, (m) => m.prune),
  'volume rm': part('Remove one or more volumes', volumes, (m) => m.remove),
  'network connect': part('Connect a container to a network', networks, (m) => m.connect),
  'network create': part('Create a network', networks, (m) => m.create),
  'network disconnect': part('Disconnect a container from a network', networks, (m) => m.disconnect),
  'network inspect': part('Display detailed information on one or more networks', networks, (m) => m.inspect),
  'network ls': networkList,
  'network prune': part('Remove all unused networks', networks, (m) => m.prune),
  'network rm': part('Remove one or more networks', networks, (m) => m.remove),
  'driver inspect': part('Display detailed information on a driver', drivers, (m) => m.inspect),
  'driver ls': driverList,
  'driver why': part('Say which driver of a kind was chosen, and why not the others', drivers, (m) => m.why),
}

/** Other names of the same commands, Docker's long forms among them. */
export const aliases: Readonly<Record<string, string>> = {
  'volume list': 'volume ls',
  'volume remove': 'volume rm',
  'network list': 'network ls',
  'network remove': 'network rm',
  'driver list': 'driver ls',
  'container ls': 'ps',
  'container list': 'ps',
  'container ps': 'ps',
  'container remove': 'rm',
  ...Object.fromEntries(
    [
      'attach',
      'commit',
      'cp',
      'create',
      'diff',
      'exec',
      'export',
      'inspect',
      'kill',
      'logs',
      'pause',
      'port',
      'rename',
      'restart',
      'rm',
      'run',
      'start',
      'stats',
      'stop',
      'top',
      'unpause',
      'update',
      'wait',
    ].map((name) => [`container ${name}`, name]),
  ),
  'image ls': 'images',
  'image list': 'images',
  'image rm': 'rmi',
  'image remove': 'rmi',
  'image load': 'load',
  'image history': 'history',
  'image save': 'save',
  'image pull': 'pull',
  'image push': 'push',
  'image import': 'import',
  'image tag': 'tag',
  'image build': 'build',
  'builder build': 'build',
  'image inspect': 'inspect',
  'system info': 'info',
  'system events': 'events',
}

export const groups: Readonly<Record<string, string>> = {
  driver: 'Show drivers, and why they were chosen',
  network: 'Manage networks',
  volume: 'Manage volumes',
  container: 'Manage containers',
  image: 'Manage images',
  system: 'Manage the engine',
  builder: 'Manage builds',
}
