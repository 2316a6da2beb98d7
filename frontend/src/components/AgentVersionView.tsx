import { Grid, Paper, Table, TextInput, Title } from '@mantine/core'
import { useQuery } from '@tanstack/react-query'
import { useState } from 'react'
import type { AgentVersion } from '../services/api'
import { queries } from '../services/queries'
import { effectiveText } from './stages'
import { Facts } from './Facts'
import { pipelineGraph } from './pipelines'
import { Empty, Shown } from './States'

/** What the collector is and what it was built with, and which of that it uses. */
export function AgentVersionView({ id }: { id: string }) {
  const query = useQuery(queries.version(id))
  return (
    <Shown query={query} what="Its version cannot be shown">
      {(version) => (
        <Grid gap="md">
          <Grid.Col span={{ base: 12, md: 4 }}>
            <Paper component="section" aria-label="Version">
              <Title order={2} size="h6" mb="xs">
                Version
              </Title>
              <Facts
                items={[
                  ['Agent', version.agent_type],
                  ['Version', version.version],
                  ['System', version.os_description ?? version.os_type],
                  ['Host', version.host_name],
                  ['Processor', version.host_arch],
                  ['Components hash', version.components_hash && <span className="fg-mono">{version.components_hash.slice(0, 16)}</span>],
                ]}
              />
            </Paper>
          </Grid.Col>
          <Grid.Col span={{ base: 12, md: 8 }}>
            <Components id={id} version={version} />
          </Grid.Col>
        </Grid>
      )}
    </Shown>
  )
}

function Components({ id, version }: { id: string; version: AgentVersion }) {
  const [text, setText] = useState('')
  const { data: config } = useQuery(queries.config(id))
  const used = new Set<string>()
  try {
    for (const node of config ? pipelineGraph(effectiveText(config)).nodes : []) used.add(`${node.kind}/${node.name.split('/')[0]}`)
  } catch {
    // a configuration that does not parse uses nothing that could be named
  }
  const rows = Object.entries(version.components).flatMap(([kind, group]) =>
    Object.entries(group.components).map(([name, part]) => ({
      kind,
      name,
      module: String(part.metadata['code.namespace'] ?? ''),
      isUsed: used.has(`${kind}/${name}`),
    })),
  )
  const found = rows.filter((row) => `${row.kind} ${row.name} ${row.module}`.toLowerCase().includes(text.toLowerCase()))
  if (!rows.length) {
    return (
      <Empty title="It did not tell what it was built with">
        Set capabilities.reports_available_components: true in the supervisor's configuration.
      </Empty>
    )
  }
  return (
    <Paper component="section" aria-label="Components">
      <TextInput
        aria-label="Search components"
        placeholder={`Search ${rows.length} components`}
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        mb="xs"
        w={260}
      />
      <Table aria-label="Components">
        <Table.Thead>
          <Table.Tr>
            {['Kind', 'Component', 'Used', 'Module'].map((title) => (
              <Table.Th key={title}>{title}</Table.Th>
            ))}
          </Table.Tr>
        </Table.Thead>
        <Table.Tbody>
          {found.slice(0, 300).map((row) => (
            <Table.Tr key={`${row.kind}/${row.name}`}>
              <Table.Td>{row.kind}</Table.Td>
              <Table.Td className="fg-mono">{row.name}</Table.Td>
              <Table.Td>{row.isUsed ? 'yes' : '–'}</Table.Td>
              <Table.Td className="fg-mono" style={{ overflowWrap: 'anywhere' }}>
                {row.module}
              </Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Paper>
  )
}
