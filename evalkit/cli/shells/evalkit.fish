# Completion of evalkit for fish: evalkit completion fish > ~/.config/fish/completions/evalkit.fish
function __evalkit_candidates
    set -l words (commandline -opc)
    set -l word (commandline -ct)
    set -l program (string replace -r '^~/' "$HOME/" -- $words[1])
    for line in ($program completion --candidates $words[2..-1] "$word" 2>/dev/null)
        if test "$line" = :files
            set -l before (string match -r '^.*=' -- $word)
            for file in (__fish_complete_path (string replace -r '^.*=' '' -- $word))
                echo "$before$file"
            end
        else
            echo $line
        end
    end
end
complete -c evalkit -f -a '(__evalkit_candidates)'
