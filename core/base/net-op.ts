/**
 * A step in the kernel's network state. `host` ops of a join run in the host's network namespace, `container` ops in the sandbox's.
 * They are data, so that any exec driver, a helper or a remote driver can carry them out.
 */
export type NetOp =
  /** Makes a veth pair; the peer is born in the sandbox under `peerName` (a `host` op only). */
  | {
      op: 'veth'
      name: string
      peerName: string
      peerMac?: string
      mac?: string
      mtu?: number
      /** Bridge the host end joins. */
      master?: string
      /** Bridge port hairpin mode. */
      hairpin?: boolean
      /** The bridge port exchanges no frames with other isolated ports. */
      isolated?: boolean
    }
  /** Moves an existing host link into the sandbox and renames it (a `host` op only). */
  | { op: 'move'; name: string; newName: string }
  | { op: 'up'; link: string; mtu?: number; mac?: string }
  /** CIDR. `nodad` skips duplicate address detection of IPv6. */
  | { op: 'address'; link: string; address: string; nodad?: boolean }
  /** `destination` CIDR or `default`; without `gateway` the route is on-link. With `replace` it takes the place of another one to there. */
  | { op: 'route'; link: string; destination: string; gateway?: string; scope?: 'link' | 'global'; replace?: boolean }
  /** `key` with dots or slashes, below /proc/sys. */
  | { op: 'sysctl'; key: string; value: string }
  /** Batch of nftables messages as the `tsd-engine/native` nft encoder makes them (base64). */
  | { op: 'nft'; batch: string; describe: string }
