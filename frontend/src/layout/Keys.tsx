import { Kbd, Modal, Table } from '@mantine/core'
import { PLACES } from './shortcuts'

/** Every key that does something. */
export default function Keys({ onClose }: { onClose: () => void }) {
  return (
    <Modal opened onClose={onClose} title="Keyboard">
      <Table>
        <Table.Tbody>
          {PLACES.map(([key, , title]) => (
            <Table.Tr key={key}>
              <Table.Td>
                <Kbd>g</Kbd> <Kbd>{key}</Kbd>
              </Table.Td>
              <Table.Td>{title}</Table.Td>
            </Table.Tr>
          ))}
          {[
            ['/', 'Search'],
            ['↑ ↓', 'Row by row, Enter opens'],
            ['Esc', 'Close what is open'],
            ['d', 'Dark or light'],
            ['?', 'This list'],
          ].map(([key, what]) => (
            <Table.Tr key={key}>
              <Table.Td>
                <Kbd>{key}</Kbd>
              </Table.Td>
              <Table.Td>{what}</Table.Td>
            </Table.Tr>
          ))}
        </Table.Tbody>
      </Table>
    </Modal>
  )
}
