# SPDX-License-Identifier: Apache-2.0
# frozen_string_literal: true

# The words that bench/peers/run speaks with producers and workers (see there).
module Lines
  def self.mono_us
    Process.clock_gettime(Process::CLOCK_MONOTONIC, :microsecond)
  end

  def self.say(answer)
    pairs = answer.is_a?(Hash) ? answer.map { |k, v| " #{k}=#{v}" }.join : ''
    $stdout.write("ok#{pairs}\n")
    $stdout.flush
  end

  def self.serve(commands, first = {})
    say(first)
    while (line = $stdin.gets)
      name, *pairs = line.split
      begin
        say(commands.fetch(name).call(pairs.to_h { |p| p.split('=', 2) }))
      rescue StandardError => e
        $stdout.write("error #{e.message}\n")
        $stdout.flush
      end
    end
  end
end
