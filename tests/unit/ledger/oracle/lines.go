// Of each line that we call a record (standard input): Go reads it, one value and nothing behind it, and writes the same
// bytes again. Prints how many.
package main

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
)

func main() {
	in := bufio.NewReaderSize(os.Stdin, 1<<20)
	n := 0
	for {
		line, err := in.ReadBytes('\n')
		if err != nil {
			break
		}
		line = bytes.TrimSuffix(line, []byte("\n"))
		decoder := json.NewDecoder(bytes.NewReader(line))
		decoder.UseNumber()
		var value map[string]interface{}
		var again bytes.Buffer
		encoder := json.NewEncoder(&again)
		encoder.SetEscapeHTML(false)
		if err := decoder.Decode(&value); err != nil || decoder.More() {
			fmt.Printf("Go does not read: %s\n", line)
			os.Exit(1)
		}
		if err := encoder.Encode(value); err != nil || !bytes.Equal(bytes.TrimSuffix(again.Bytes(), []byte("\n")), line) {
			fmt.Printf("Go reads another value: %s\n", line)
			os.Exit(1)
		}
		n++
	}
	fmt.Println(n)
}
